# softseg as a BIDS App: the core alone, weights inside, no root, no network needed at run time.
#
#   docker build -t softseg .
#   docker run --rm --network none -v /data:/data:ro -v /out:/out softseg /data /out participant
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY softseg ./softseg
RUN python -m venv /opt/softseg && /opt/softseg/bin/pip install --no-cache-dir .

FROM python:3.12-slim
COPY --from=build /opt/softseg /opt/softseg
ENV PATH=/opt/softseg/bin:$PATH PYTHONDONTWRITEBYTECODE=1
RUN useradd --create-home --uid 1000 softseg
USER softseg
WORKDIR /home/softseg
ENTRYPOINT ["softseg-bids"]
CMD ["--help"]
