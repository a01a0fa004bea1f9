"""
Uploads: from files, memory and streams, in one request or by multipart upload.
"""
