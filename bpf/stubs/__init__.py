"""Headers that stand in for a kernel tree, so that BCC compiles over the running kernel's BTF."""
