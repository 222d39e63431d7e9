"""Complete run descriptions, one file a family; a recipe is a function that returns one."""
