"""How well a model ranks what each left entity was held out with, among the whole catalogue or given candidates."""
