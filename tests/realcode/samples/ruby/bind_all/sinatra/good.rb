require 'sinatra'

set :bind, ENV.fetch('BIND', '127.0.0.1')
set :port, 8080

get('/') { erb :index }
