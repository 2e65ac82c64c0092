"""The live Hub: discover models, plan what that costs, download politely, keep what was saved."""
