FROM python:3.11
COPY . /source
RUN pip install --no-cache-dir -c /source/scripts/constraints.txt /source
WORKDIR /work
