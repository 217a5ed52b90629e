"""What tests share: real servers, real processes, contract-tested fakes."""
