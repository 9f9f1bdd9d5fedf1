"""How everything is worded: languages, figures, terminals."""
