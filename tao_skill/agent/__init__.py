"""The actions of the bank as typed tools: what an agent may ask, what it is answered, and where it may reach.

A tool is a request model, an answer model and a function (`tools.py`). Everything that differs between a shell, a pipe
and an MCP client lies outside: in `cli/call.py` and in `server.py`.
"""
