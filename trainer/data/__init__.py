"""From a folder of captioned images to the ordered batches that a slot trains on."""
