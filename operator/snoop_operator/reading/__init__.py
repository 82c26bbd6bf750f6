"""Reports for people: read through the API server's service proxy, with a ticket that RBAC let them create."""
