"""sbom: the software bill of materials of a version, in CycloneDX 1.6 JSON."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

_SPACE = uuid.UUID("b6f1c1f4-6f0e-5f43-9a0b-1d1f6a2f7c15")


def render_sbom(
    *,
    model: str,
    version: int,
    identity: str,
    adapter_sha256: str,
    base: Mapping[str, str],
    dataset: str,
    python: str,
    packages: Mapping[str, str],
    licences: Mapping[str, str | None],
) -> str:
    """The bill of `model` v`version`: what it was trained with, on and from.

    base: name, and sha256 over its configuration and weights. dataset: fingerprint. packages: name -> version of what
    was installed. licences: name -> licence of packages of which it is known.
    """
    root = Component(
        name=model,
        version=f"v{version}",
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"{model}-v{version}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=adapter_sha256)],
        properties=[Property(name="mtl:run", value=identity)],
    )
    parts = [
        Component(
            name=base["name"],
            version=base.get("revision"),
            type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref="base",
            properties=[Property(name="mtl:sha256", value=base["sha256"])],
        ),
        Component(name="dataset", version=dataset, type=ComponentType.DATA, bom_ref="dataset"),
        Component(name="python", version=python, type=ComponentType.PLATFORM, bom_ref="python"),
        *(_library(name, its, licences.get(name)) for name, its in packages.items()),
    ]
    bom = Bom(
        metadata=BomMetaData(component=root),
        components=parts,
        serial_number=uuid.uuid5(_SPACE, f"{model} v{version} {identity}"),
    )
    bom.register_dependency(root, parts)
    return json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), indent=2, ensure_ascii=False) + "\n"


def _library(name: str, version: str, licence: str | None) -> Component:
    purl = PackageURL("pypi", name=re.sub(r"[-_.]+", "-", name).lower(), version=version)
    known = [LicenseFactory().make_from_string(licence)] if licence else []
    return Component(name=name, version=version, purl=purl, bom_ref=str(purl), licenses=known)
