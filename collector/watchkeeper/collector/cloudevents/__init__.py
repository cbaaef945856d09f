"""CloudEvents of model servers: their three modes over HTTP, and the bodies of inference that they carry."""
