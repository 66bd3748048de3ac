"""How `plan`, `apply`, `gc` and `status` look at a server and carry a plan out."""
