"""What `make demo` replays: real flights with one quiet fault, a made assistant, made GPUs."""
