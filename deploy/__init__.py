"""The stack in an AWS account: `make deploy` puts it there, `make undeploy` takes all of it away.

Which account is said as to any AWS tool, by its environment or profile. Nothing here is deployed itself.
"""
