"""What tests share: small files, tiny networks, short trainings. No tests here."""
