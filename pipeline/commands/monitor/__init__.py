"""`kindred monitor`: compares the requests of a served model with the data that it was trained on."""
