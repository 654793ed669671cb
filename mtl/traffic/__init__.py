"""What happens after promotion: logged requests, feedback of people, and counts of what each version served."""
