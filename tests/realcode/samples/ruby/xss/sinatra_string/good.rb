require 'sinatra'

get '/hello' do
  name = Rack::Utils.escape_html(params['name'])
  "<p>Hello #{name}</p>"
end
