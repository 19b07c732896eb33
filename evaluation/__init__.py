"""How good the embedded ROMs are: images are judged against what was asked, and the rates are written as tables."""
