"""Reading what others made: receipts and notebooks, judged from what they hold and what the reader
asks for."""
