"""How evidence comes in.

Who posts (`authentication`), what a body may be (`body`), how much at once (`limits`), what is published of it
(`metrics`), and the HTTP face of all that (`api`).
"""
