"""A network as it is before attention comes: built, watched for one image, and asked where there is room."""
