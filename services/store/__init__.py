"""What is kept beside the log: blobs, key-value buckets, leases and work-queue streams."""
