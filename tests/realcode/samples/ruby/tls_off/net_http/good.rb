require 'net/http'

def fetch(uri)
  http = Net::HTTP.new(uri.host, uri.port)
  http.use_ssl = true
  http.ca_file = '/etc/ssl/certs/example.pem'
  http.get(uri.request_uri).body
end
