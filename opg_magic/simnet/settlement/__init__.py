"""How answers' hashes are published: the relay that commits batches, the store of their trees."""
