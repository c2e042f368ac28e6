"""The images of deploy/Dockerfile under a real container runtime: `make check-image`.

They need podman and, where no registry can be reached, debootstrap and root. So `make test` does not run them.
"""
