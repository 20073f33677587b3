"""What was decided, done on AWS: the only importers of boto3. Concrete, no interfaces; one module for each thing kept.

A module here knows keys, conditions and expressions, and no rules: those are in the pure core.
"""
