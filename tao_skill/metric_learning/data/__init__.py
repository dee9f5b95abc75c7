"""Turn folders of images into batches: find, check, decode, augment, draw."""
