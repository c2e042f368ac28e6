"""Publishing: a blessed model appears in the serving directory whole, or not at all."""
