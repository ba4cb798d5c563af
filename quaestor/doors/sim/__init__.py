"""Protocol servers: local stand-ins that speak a vendor's wire protocol to its real client library, faults included."""
