"""Shell completion: the scripts of bash, zsh and fish, and what they ask for at every Tab."""
