"""Paper: feeds and the session loop around the bridge. Empty until the paper engine is built.

Never here: rules, commands.
"""
