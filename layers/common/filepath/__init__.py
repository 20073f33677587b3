"""filepath: execution environments for AI agents, on the owner's own AWS account.

The pure core (`session`, `task`, `credit`, `output`, `access`, `ids`, `protocol`) decides; `aws` does what was decided;
`operations` joins the two into the things a caller can do; `rest` and `rpc` are the doors to them. `machines` holds
the steps that the state machines invoke, `sandboxes` what an agent's messages cause.
"""
