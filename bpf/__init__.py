"""The kernel side, in C. This package only carries the sources to where snoop_agent.sources finds them."""
