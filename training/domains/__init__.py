"""What the embedded ROMs are about: each domain says what an image can show, draws it and puts it in words."""
