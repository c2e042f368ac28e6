"""Object stores behind one small interface, over the file systems of PyArrow: S3, Google Cloud Storage, Azure.

A path such as `s3://bucket/models` names an object, or all objects below it. The rest of the program works on local
files: `copies` keeps local copies of objects, and `store` reads, writes and lists them.
"""
