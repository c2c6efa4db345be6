"""What can be wrong with labelled data: near duplicates, shortcuts that labels leak. No network is trained here."""
