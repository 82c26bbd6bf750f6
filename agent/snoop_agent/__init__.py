"""The agent: records in the kernel which files a pod's containers use, and reports them."""
