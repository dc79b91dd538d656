"""How hosts are paid: the facilitator that settles, the sessions that collect, the terms asked
for."""
