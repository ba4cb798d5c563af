"""Operations: async use cases over ports; the same from a task, the console, the live runner or a Function."""
