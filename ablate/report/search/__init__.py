"""What a search asked, found and confirmed."""
