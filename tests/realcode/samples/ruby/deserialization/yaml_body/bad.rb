require 'yaml'
require 'sinatra'

post '/import' do
  data = YAML.load(request.body.read)
  data.keys.join(',')
end
