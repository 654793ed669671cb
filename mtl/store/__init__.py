"""Object stores: one seam (`base.ObjectStore`), three implementations (folder, memory, S3)."""
