"""Other trainers' configurations under sd-scripts' keys: a table a trainer, a function where a table cannot say it."""
