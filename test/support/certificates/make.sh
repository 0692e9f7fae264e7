#!/bin/sh
# Makes the certificates of the tests. Their keys protect nothing; they are valid for a hundred years.
set -eu
cd "$(dirname "$0")"
DAYS=36500

make_authority() { # FILE NAME
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days $DAYS -subj "/CN=$2" \
    -addext basicConstraints=critical,CA:TRUE -keyout "$1-key.pem" -out "$1.pem"
}

make_certificate() { # FILE NAME AUTHORITY EXTENSIONS
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$1-key.pem" -out request.pem
  echo "$4" > extensions.cnf
  openssl x509 -req -in request.pem -CA "$3.pem" -CAkey "$3-key.pem" -days $DAYS -extfile extensions.cnf -out "$1.pem"
  rm request.pem extensions.cnf
}

make_authority authority 'GopherPay tests'
make_authority stranger 'Another authority'
make_certificate server localhost authority 'subjectAltName=DNS:localhost,IP:127.0.0.1'
make_certificate renewed localhost authority 'subjectAltName=DNS:localhost,IP:127.0.0.1'
make_certificate elsewhere elsewhere.example authority 'subjectAltName=DNS:elsewhere.example'
make_certificate client caller authority 'extendedKeyUsage=clientAuth'
make_certificate stranger-client caller stranger 'extendedKeyUsage=clientAuth'
rm -f authority-key.pem stranger-key.pem
