"""The pages: each a function from a scheduler and a visit to what is shown. They run in a thread, and may block."""
