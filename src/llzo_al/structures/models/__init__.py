"""Structure models made of crystals: orderings, variants, slabs, amorphous boxes, blocks, interfaces."""
