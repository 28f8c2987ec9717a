"""The one U-Net that every trainer uses, and the blocks it is made of."""
