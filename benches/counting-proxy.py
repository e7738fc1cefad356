#!/usr/bin/env python3
"""Counts the requests a client makes to the API server: plain HTTP on a loopback port here, the lab's TLS behind.

counting-proxy.py KUBECONFIG OUT: writes OUT/kubeconfig that points here, OUT/requests with a line a request, and serves
until its standard input closes. Loopback and the lab's own address only."""
import base64, http.client, http.server, json, os, ssl, subprocess, sys, threading, urllib.parse

kubeconfig, out = sys.argv[1:3]
config = json.loads(subprocess.check_output(["kubectl", "--kubeconfig", kubeconfig, "config", "view", "--raw", "-o", "json"]))
cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
server = urllib.parse.urlparse(cluster["server"])


def pem(name, text):
    path = os.path.join(out, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(base64.b64decode(text))
    return path


def part(section, key):
    return section.get(key) or pem(key, section[key + "-data"])


tls = ssl.create_default_context(cafile=part(cluster, "certificate-authority"))
tls.load_cert_chain(part(user, "client-certificate"), part(user, "client-key"))
log = open(os.path.join(out, "requests"), "w", buffering=1)


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = threading.local()

    def relay(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0) or 0))
        log.write(f"{self.command} {self.path}\n")
        if not hasattr(self.upstream, "it"):
            self.upstream.it = http.client.HTTPSConnection(server.hostname, server.port, context=tls)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", "accept-encoding")}
        self.upstream.it.request(self.command, self.path, body, headers)
        answer = self.upstream.it.getresponse()
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(key, value)
        if "watch=" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while chunk := answer.read1(65536):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        else:
            data = answer.read()
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = relay

    def log_message(self, *_):
        pass


httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
httpd.daemon_threads = True
config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{httpd.server_address[1]}"}
config["users"][0]["user"] = {}
with open(os.path.join(out, "kubeconfig"), "w") as file:
    json.dump(config, file)
threading.Thread(target=httpd.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
